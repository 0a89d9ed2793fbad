"""python3-websockets and brokerd: echo, pings, closing, and JSON with its subprotocol.

    talk.py ws://HOST:PORT"""
import asyncio
import json
import os
import sys

import websockets

PATIENCE = 20
url = sys.argv[1]


async def echo():
    # It offers permessage-deflate, which brokerd declines.
    async with websockets.connect(url + '/echo', max_size=None) as ws:
        for message in ('', 'grün', 'x' * 125, 'x' * 126, 'x' * 65535, 'x' * 65536, b'', b'\0\1',
                        os.urandom(5_000_000)):
            await ws.send(message)
            assert await ws.recv() == message, len(message)
        await ws.send(['a message', ' in ', 'three'])
        assert await ws.recv() == 'a message in three'
        await (await ws.ping(b'are you there'))
        many = [os.urandom(i % 300) for i in range(5000)]

        async def send():
            for message in many:
                await ws.send(message)
        sending = asyncio.ensure_future(send())
        for message in many:
            assert await ws.recv() == message
        await sending
    assert ws.close_code == 1000, ws.close_code


async def too_large():
    async with websockets.connect(url + '/echo', max_size=None) as ws:
        try:
            await ws.send(b'x' * (17 << 20))
            await ws.recv()
        except websockets.ConnectionClosed as e:
            assert e.code == 1009, e
        else:
            raise AssertionError('17 MiB came back')


async def typed():
    """JSON as a person types it, one object a message."""
    async with websockets.connect(url + '/ws', subprotocols=['json']) as ws:
        assert ws.subprotocol == 'json'

        async def hear(id_):
            while True:
                message = json.loads(await ws.recv())
                if message['id'] == id_:
                    return message['data']
        await ws.send('{"id":"$subscribe","data":{"topic":"user_created","credit":100}}')
        assert (await hear('$subscribed'))['topic'] == 'user_created'
        await ws.send('{"id":"user_created",\n "data":{"user":{"id":1,"username":"grün"}}}')
        assert await hear('user_created') == {'user': {'id': 1, 'username': 'grün'}}


async def foreign_pages():
    for origin in 'https://elsewhere.example', 'null':
        try:
            async with websockets.connect(url + '/ws', origin=origin):
                raise AssertionError(origin)
        except websockets.InvalidStatusCode as e:
            assert e.status_code == 403, e
    async with websockets.connect(url + '/ws', origin=url.replace('ws:', 'http:')):
        pass


for talk in echo, too_large, typed, foreign_pages:
    asyncio.run(asyncio.wait_for(talk(), PATIENCE * int(os.environ.get('SLOW', '1'))))
    print('ok   python3-websockets,', talk.__name__)
